"""A GGUF model behind SageMaker's serving contract and OpenAI's chat completions."""

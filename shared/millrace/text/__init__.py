"""Text, pure: sentences, rules, scores, faithfulness, prompts."""

"""How the stack is put up: one construct per capability, named like the module that it serves."""

import os

# Before aws_cdk is first imported, here or in a test: which Node runs its kernel is no news for our users.
os.environ.setdefault("JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION", "18,20,22")

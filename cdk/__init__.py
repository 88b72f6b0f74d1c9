"""How the stack is put up: one construct per capability, named like the module that it serves."""

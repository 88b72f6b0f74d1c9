"""Millrace's domain. AWS is touched only where a module's docstring says so."""

"""CNNs: a search among proposals, a network of the user's own, transfer from a backbone, and serving the result."""

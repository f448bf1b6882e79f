"""A stand-in for the data API: users, products and purchases over HTTP, with the habits of servers in the wild."""

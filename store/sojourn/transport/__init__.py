"""How operations reach Redis: thin synchronous and asynchronous twins over redis-py's connections."""

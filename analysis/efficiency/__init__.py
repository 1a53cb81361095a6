"""How soon does a strategy complete a good network? Strategies in pairs, on recorded runs."""

"""Which candidate next, when to stop, which one wins? The engine; notebooks import `mdsearch`."""

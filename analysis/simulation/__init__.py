"""What a search would take on a cluster that is not there: planned on a virtual clock."""

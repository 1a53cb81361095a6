"""What every folder needs: plain data, whole files, seeds, retries. Knows nothing of networks."""

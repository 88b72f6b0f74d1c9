"""What every container shares: the job's folders, progress lines, the manifest and the entry point."""

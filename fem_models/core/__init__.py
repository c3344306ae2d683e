"""What everything else stands on: errors, ranks, checks, protocols."""

"""Jobs: profiles of clusters, job scripts, their submission, and where runs stand."""

"""The queue service: what a waiting caller hears, and how an offer becomes a bridged call."""

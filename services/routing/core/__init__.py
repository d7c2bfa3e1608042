"""The decisions of routing: pure, one engine a tenant. Start reading at ``engine``."""

"""What people do with flows at a desk: check, draw, try. No part of the running service."""

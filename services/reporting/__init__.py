"""Reporting: counts what happened. The only service that touches ClickHouse; decides nothing."""

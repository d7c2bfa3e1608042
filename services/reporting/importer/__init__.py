"""Brings the history of other systems into ClickHouse: ``python -m services.reporting.importer --help`` (adr/0057)."""

"""Records out of the histories of other systems. Pure: lines in, records out; ``services/reporting/importer`` reads and writes."""

"""What would a day have been like with other people, skills or rules: a real day through the real routing core (adr/0058).

Stands on top of the services and is imported by none of them.
"""

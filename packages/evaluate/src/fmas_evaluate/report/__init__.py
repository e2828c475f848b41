"""What the command shows: tables, JSON, figures and a page, all made from the same findings."""

"""How things look: tables, progress, instances, graphs. Rich is imported only where something is drawn with it."""

"""From a catalogue entry to a served model: fetch, export, accept."""

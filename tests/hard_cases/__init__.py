"""Every row of the hard cases, on real files through the whole pipe, with the real programs."""

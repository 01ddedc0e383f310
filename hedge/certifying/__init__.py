"""Proofs of the error over a whole box: Taylor models of both networks on boxes that are bisected."""

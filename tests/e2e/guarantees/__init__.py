"""The guarantees, each attacked from outside; `ACME_ATTACK=full` makes the long attacks as long as promised."""

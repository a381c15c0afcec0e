"""Whether an answer behaves: a case's steps, and how they are taken on a deployment."""

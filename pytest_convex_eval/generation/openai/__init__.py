"""OpenAI's models, and every endpoint that speaks its Chat Completions."""

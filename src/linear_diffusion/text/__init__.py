"""Text: prompts -> codes.  labels (as given to fit) -> prompts (as asked for) -> mixes; words and their products."""

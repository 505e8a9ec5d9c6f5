"""Extensions and generators for the documentation: optimizers' pages, pictures, equations."""

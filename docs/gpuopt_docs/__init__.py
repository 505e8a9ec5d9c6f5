"""What builds the pages: those written from definitions, pictures, equations, and checks."""

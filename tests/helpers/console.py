"""What commands print."""


def words(text):
    """The words of an error, whatever box is drawn around it and wherever its lines end."""
    return " ".join(text.replace("│", " ").split())

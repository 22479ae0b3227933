"""What is printed for people and programs: plans, previews, pages. Pure functions to text."""

"""What people read: model cards, evaluation reports, entities in their text."""

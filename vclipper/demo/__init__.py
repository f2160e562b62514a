"""The demo: pictures it draws itself, the small model trained on them, and videos made of them."""

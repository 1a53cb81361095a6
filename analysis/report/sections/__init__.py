"""What each part of the page says: a function a part, which gives its template the fields."""

"""What looks at images, and where do its weights come from?"""

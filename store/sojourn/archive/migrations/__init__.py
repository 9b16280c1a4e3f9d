"""Alembic's environment and the migrations, one file per version of the tables."""

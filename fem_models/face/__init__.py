"""What `import fem_models as fm` offers; `fem_models` loads it name by name."""

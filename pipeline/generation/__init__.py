"""Generation: answers to prompts, repairs and marks of prompts, made by models."""

"""The pages, one file each: what is asked of the workspace, and which template shows it."""

"""What a user reads after the README, and the script that writes its generated parts."""

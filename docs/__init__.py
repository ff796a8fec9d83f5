"""What a user reads after the README, and the scripts that write its generated parts."""

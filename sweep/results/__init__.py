"""What people look at and take away: leaderboard, progress, exported configurations."""

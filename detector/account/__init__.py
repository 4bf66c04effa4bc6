"""What an account's posts say together: statistics in constant memory, and the LLR they amount to."""

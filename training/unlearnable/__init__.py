"""training/unlearnable"""

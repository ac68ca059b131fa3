"""How programs are run: started, confined, limited, and spoken to."""

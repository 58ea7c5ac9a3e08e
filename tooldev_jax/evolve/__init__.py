"""One round of self-evolution: queries in, judged examples out."""

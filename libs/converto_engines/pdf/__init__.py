"""PDF documents to pictures, drawings, text and other PDFs."""

"""What is made of PDF documents: pictures, drawings, text, other PDFs."""

"""The event bus on RabbitMQ; the only package that imports aio-pika."""

"""What runs Peyvand: images, charts, centers, and the tools of the development machine."""

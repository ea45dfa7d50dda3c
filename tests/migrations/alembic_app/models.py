import sqlalchemy as sa
from sqlalchemy.orm import declarative_base

Base = declarative_base()


class Customer(Base):
    __tablename__ = "customer"
    id = sa.Column(sa.Integer, primary_key=True)
    email = sa.Column(sa.Text, nullable=False, unique=True)
    status = sa.Column(sa.Enum("new", "active", "gone", name="status"), nullable=False, server_default="new")


class Purchase(Base):
    __tablename__ = "purchase"
    id = sa.Column(sa.BigInteger, primary_key=True)
    customer_id = sa.Column(sa.ForeignKey("customer.id"), nullable=False)
    cents = sa.Column(sa.BigInteger, nullable=False)
    __table_args__ = (sa.Index("purchase_customer", "customer_id"),)

"""Words that say what a number next to them is: a reference, an amount or a measure, but no phone number.

To add a language, add its words to `REFERENCES` and `HOLDERS`; the words for "number" go to `NUMBER`. Words are in
lower case, and an underscore stands for a space. A word of five letters or more also matches with an ending of up to
three letters ("Rechnungs", "заказа").
"""

from __future__ import annotations

#: What has a number, by language: "order 2125551234" is no phone number.
REFERENCES: dict[str, str] = {
    "en": """
        account acct article asin awb barcode batch build card case commit confirmation contract coupon docket
        document doi ean edition eid ein error estimate file fingerprint gtin hash iban id imei imsi inv invoice
        ip isbn isbn-10 isbn-13 issn item license licence lot meid model mrn mpn npi order po parcel part passport pid
        pin policy product quote quotation receipt ref reference reading release routing rma s/n p/n sequence seq
        serial session shipment siren siret sku ssn swift ticket timestamp tracking transaction txn upc utr uuid
        vat version vin voucher waybill aba abn acn gst pan pnr uan revision tfn bsb nhs nino nric eori duns
        cusip isin sedol mmsi iccid asn ndc cas hs badge certificate cheque crate deed exhibit filing lease loan
        merchant mortgage patent permit plate pallet plot requisition statement tender terminal vessel warrant
        container consignment sort_code purchase_order
    """,
    "de": """
        rechnung auftrag vertrag vertrags konto steuer ust sendung vorgang aktenzeichen az artikel serien zähler
        zählerstand referenz lieferschein charge chargen beleg police personalausweis reisepass ausweis blz bic
        inventar geräte material auftrags gutschein handelsregister hrb ahv sozialversicherung
    """,
    "fr": """
        commande facture dossier colis contrat compte réf référence suivi siren siret tva reçu devis billet
        bordereau avoir série passeport permis sécurité_sociale
    """,
    "es": """
        pedido factura expediente referencia ref cuenta seguimiento póliza contrato recibo albarán nif cif nie
        dni guía folio rfc curp cuit ruc rut caso comprobante boleta código cédula
    """,
    "pt": """
        encomenda pedido fatura factura nif nota_fiscal cpf cnpj cep referência contrato conta rastreio rastreamento
        protocolo recibo apólice processo boleto matrícula
    """,
    "it": """
        ordine ordini fattura piva partita_iva pratica spedizione contratto conto ricevuta polizza riferimento rif
        protocollo bolla ddt tracciamento matricola
    """,
    "nl": """
        factuur order dossier contract rekening bsn kvk btw zending referentie polis bon offerte zaak serie artikel
        pakket
    """,
    "pl": """
        zamówienie zamówienia zamówieniu zamówień faktura faktury fv nip regon pesel krs konto konta przesyłka
        przesyłki umowa umowy paragon reklamacja reklamacji sprawa sprawy polisa polisy rachunek rachunku
    """,
    "cs": """
        objednávka objednávky faktura faktury variabilní_symbol vs ičo dič smlouva smlouvy zásilka zásilky účet účtu
    """,
    "sk": "objednávka objednávky faktúra faktúry zmluva zmluvy zásielka zásielky účet účtu",
    "hu": "rendelés rendelési számla szerződés ügyfél csomag adószám ügyirat nyugta",
    "ro": "comanda comandă comenzii factura factură facturii contract cont cui cnp awb colet dosar",
    "bg": "поръчка поръчката фактура договор пратка сметка егн еик булстат",
    "el": """
        παραγγελία παραγγελίας τιμολόγιο τιμολογίου αφμ συμβόλαιο λογαριασμός λογαριασμού δέμα αποστολή αποστολής
        απόδειξη
    """,
    "sv": """
        order faktura personnummer organisationsnummer org ärende avtal konto kolli försändelse kvitto ocr referens
    """,
    "da": """
        ordre ordren faktura cvr cpr sag konto aftale kontrakt forsendelse pakke kvittering reference
    """,
    "nb": """
        ordre ordren faktura kid orgnr organisasjon fødsels sak konto kontrakt sending kvittering referanse
    """,
    "fi": """
        tilaus tilauksen lasku laskun viite sopimus sopimuksen lähetys lähetyksen tili tilin y-tunnus
    """,
    "ru": """
        заказ заказа счёт счет счёта счета фактура договор договора инн снилс кпп огрн бик трек накладная накладной
        посылка посылки квитанция заявка заявки артикул паспорт паспорта чек чека полис полиса акт дело дела
    """,
    "uk": """
        замовлення рахунок рахунку договір договору накладна накладної посилка посилки іпн єдрпоу квитанція
    """,
    "tr": """
        sipariş siparişi fatura tc_kimlik iban vkn vergi sözleşme kargo takip hesap poliçe fiş dosya irsaliye
    """,
    "he": "הזמנה ההזמנה חשבונית חשבון משלוח חבילה תיק קבלה אסמכתא תז זהות",
    "ar": """
        طلب الطلب فاتورة الفاتورة حساب الحساب شحنة الشحنة عقد العقد الهوية مرجع المرجع إيصال الإيصال تتبع التتبع
    """,
    "fa": "سفارش فاکتور حساب قرارداد مرسوله رهگیری پیگیری کدملی ملی بارنامه",
    "hi": "ऑर्डर आर्डर बिल चालान खाता खाते इनवॉइस आधार टिकट बुकिंग अनुबंध",
    "vi": "đơn_hàng hóa_đơn hoá_đơn hợp_đồng vận_đơn tài_khoản mã",
    "hr": "narudžba narudžbe narudžbina račun računa faktura ugovor ugovora pošiljka pošiljke oib",
    "sr": "поруџбина поруџбине рачун рачуна фактура уговор пошиљка пиб",
    "sl": "naročilo naročila račun računa pogodba pogodbe pošiljka pošiljke zahtevek",
    "lt": "užsakymas užsakymo sąskaita sąskaitos sutartis sutarties siunta siuntos pvm",
    "lv": "pasūtījums pasūtījuma rēķins rēķina līgums līguma sūtījums sūtījuma konts konta",
    "et": "tellimus tellimuse leping lepingu saadetis saadetise konto isikukood registrikood arve_nr",
    "is": "pöntun pöntunar reikningur reiknings sending sendingar kennitala",
    "ca": "comanda factura expedient compte contracte referència enviament",
    "bn": "অর্ডার অর্ডারের চালান রসিদ হিসাব চুক্তি",
    "ur": "آرڈر رسید اکاؤنٹ انوائس بل شناختی_کارڈ",
    "ta": "ஆர்டர் ரசீது கணக்கு",
    "ms": "pesanan invois akaun bil resit kontrak",
    "sw": "ankara akaunti mkataba",
    "id": "pesanan faktur resi kontrak rekening tagihan kuitansi npwp nik invois akaun",
}

#: Who or what has a number, but has a phone number as well, by language: only "customer no. 2125551234" is a reference.
HOLDERS: dict[str, str] = {
    "en": """
        check client customer company driver employee member membership patient request student tax user booking
        reservation claim complaint delivery enquiry inquiry job payment purchase registration report
        subscription survey warranty
    """,
    "de": """
        kunde kunden kd re mitglied mitglieds personal patienten matrikel mandanten debitor bestell bestellung
        buchung buchungs fall rg reservierung versicherung versicherungs schaden storno angebot lieferung
    """,
    "fr": "client adhérent membre patient usager employé réservation abonnement livraison sinistre",
    "es": "cliente socio paciente empleado afiliado usuario reserva envío trámite siniestro",
    "pt": "cliente sócio utente usuário funcionário reserva",
    "it": "cliente socio paziente utente prenotazione",
    "nl": "klant klanten lid lidmaatschap patiënt bestel bestelling reservering",
    "pl": "klient klienta rezerwacja rezerwacji",
    "cs": "zákazník zákazníka zákaznické klient klienta",
    "hu": "vevő ügyfél tag foglalás",
    "ro": "client clientului rezervare",
    "el": "πελάτης πελάτη κράτηση",
    "sv": "kund medlem patient bokning beställning beställnings",
    "da": "kunde medlem booking bestilling bestillings",
    "nb": "kunde medlem bestilling bestillings",
    "fi": "asiakas asiakkaan jäsen varaus",
    "ru": "клиент клиента лицевой абонент абонента бронь брони",
    "uk": "клієнт клієнта",
    "tr": "müşteri üye abone hasta rezervasyon",
    "he": "לקוח הלקוח חבר",
    "ar": "العميل عميل العضوية",
    "fa": "مشتری اشتراک",
    "vi": "khách_hàng",
    "id": "pelanggan anggota",
}

#: The same in scripts without spaces and in Korean, where a word may begin or end anywhere.
UNSPACED_REFERENCES: dict[str, str] = {
    "zh": """
        订单 訂單 发票 發票 快递单 运单 运货单 單號 单号 编号 編號 客户编号 身份证 身分證 账号 帳號 账户
        合同 护照 流水 税号 统一编号 統一編號 保单 工单 案件 凭证 会员号 会员编号 會員號 會員編號
    """,
    "ja": """
        お客様番号 顧客番号 請求書 伝票 口座 予約番号 問い合わせ番号 管理番号 製造番号 マイナンバー
        注文番号 注文書 会員番号 契約番号 追跡番号
    """,
    "ko": "송장 고객번호 계좌 예약번호 운송장 사업자 주민등록 회원번호 청구서 접수번호 주문번호 계약번호",
    "th": "เลขที่ คำสั่งซื้อ ใบสั่งซื้อ ใบแจ้งหนี้ ใบเสร็จ พัสดุ บัญชี สัญญา บัตรประชาชน",
}

#: "Number" and other words that may stand between such a word and the number.
NUMBER = """
    number numbers num nbr nos no nr nrs code id key is was ending ref reference nummer nummern numero numeron
    numéro número n nº n° numer numeru nro číslo čísla č szám száma sz номер номера н numarası numara no'su nomor
    nombor broj broja številka številke број númer kods kodas numeris numurs নম্বর எண் namba số αριθμός αριθμού αρ
    رقم شماره מספר מס नंबर नम्बर क्रमांक संख्या lautet ist est es é è jest är er
    réf référence referencia referência riferimento
"""
#: The same at the end of a compound: "Losnummer" is a reference, and "Telefonnummer", with one of `PHONE`, is none.
COMPOUND_NUMBER = ("nummer", "nummern", "numer", "nr", "numero", "numeron", "szám", "száma", "code")
PHONE = """
    tel phone ruf handy mobil fax service hotline kontakt contact contat durchwahl gsm sms whatsapp puhelin matkapuhelin
    mob rückruf
"""
#: Between "number" and the word it belongs to: "numéro de client".
OF = "of de d del do da di du des van der"
UNSPACED_NUMBER = "号码 号碼 編號 编号 號碼 号 號 番号 번호 หมายเลข เลขที่ は 是 为 為 은 는"

#: Currencies and units that stand before or after a figure, besides the signs that Unicode counts as currencies.
CURRENCIES = """
    aed ars aud bdt bgn brl cad chf clp cny cop czk dkk egp eur gbp hkd hrk huf idr ils inr isk jpy kes krw mad mxn
    myr ngn nok nzd pen php pkr pln ron rsd rub sar sek sgd thb try twd uah usd vnd zar us$ a$ r$ rs rs. rp rm kr
    kr. zł kč ft lei лв лв. руб руб. рублей грн грн. тг tl euro euros dollar dollars pound pounds đồng ريال درهم
    دينار جنيه تومان ریال रुपये dólares pesos reais reales rupees rupiah yen yuan won złotych korun kronor kroner
    forint leva lira lirası dinar dirham franc francs franken libras livres sterling rand naira shillings cents
    гривен тенге долларов евро ευρώ שקל
"""

UNITS = """
    byte bytes octets kb mb gb tb kib mib gib ms ns km kg mg cm mm ml px kwh mwh hz khz mhz ghz rows lines records
    files characters words points users visitors followers views clicks likes hits requests events steps tokens
    items seconds minutes hours times pcs stk stück zeilen aufrufe lignes vues filas vistas righe wierszy rader шт
    строк байт просмотров
"""

UNSPACED_UNITS = "元 円 원 圆 圓 块 บาท 万 億 亿 次 個 个 件 台 人 名 枚 本 명 개 건 회"

#: Words for "phone" before a sign without a space: "phone=2125551234", "cell #2125551234".
PHONE_KEYS = """
    phone phone_number phonenumber ph mobile mob cell fax tel telephone msisdn whatsapp caller callerid sms telefon
    handy
"""
